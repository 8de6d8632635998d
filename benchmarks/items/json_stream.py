"""Reading a large COCO file piece by piece: the project's reader, ijson, and the whole file at once.

Two tasks: the annotations alone, whose place is known, and all fields in their order, whatever their names, which is
what copying a file with other masks takes.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from bana_mm.utils.json_stream import JSONReader
from benchmarks.harness import Candidate, Options, Row, extra_memory, take_turns


def rows(options: Options) -> Iterator[Row]:
    """A file of the size of COCO's instances_train2017.json, with polygons."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'boxes.json')
        write_coco(path, 0.1 if options.quick else options.json_megabytes)
        size = f'{path.stat().st_size / 1e6:.0f} MB'
        for task, makers in TASKS.items():
            candidates = [Candidate(make, (str(path),)) for make in makers.values()]
            times = take_turns([candidate.make(*candidate.args) for candidate in candidates], options)
            # reading takes no GPU, whatever else is measured on one
            memory = [None if options.quick else extra_memory(candidate, 'cpu') for candidate in candidates]
            for against, seconds, peak in list(zip(makers, times, memory))[1:]:
                yield Row(f'JSON, {task} of {size}', times[0], against, seconds, memory=[memory[0], peak])


def stream_annotations(path: str) -> Callable[[], float]:
    """A function that adds up the areas of all annotations, with ours."""

    def read() -> float:
        with JSONReader(path) as reader:
            return sum(each['area'] for field in reader.names() if field == 'annotations' for each in reader.elements())

    return read


def ijson_annotations(path: str) -> Callable[[], float]:
    """The same with ijson's C backend, which is told where they are."""
    from ijson.backends import yajl2_c

    def read() -> float:
        with open(path, 'rb') as file:
            return sum(each['area'] for each in yajl2_c.items(file, 'annotations.item', use_float=True))

    return read


def whole_annotations(path: str) -> Callable[[], float]:
    """The same from the whole file in memory."""

    def read() -> float:
        with open(path, encoding='utf-8') as file:
            return sum(each['area'] for each in json.load(file)['annotations'])

    return read


def stream_fields(path: str) -> Callable[[], int]:
    """A function that takes every element of every field in the order of the file, with ours."""

    def read() -> int:
        with JSONReader(path) as reader:
            fields = (reader.elements() if reader.is_array() else [reader.value()] for _ in reader.names())
            return sum(1 for field in fields for _ in field)

    return read


def ijson_fields(path: str) -> Callable[[], int]:
    """The same with ijson: without the names of the fields, elements must be put together from its events."""
    from ijson.backends import yajl2_c
    from ijson.common import ObjectBuilder

    def read() -> int:
        count = 0
        with open(path, 'rb') as file:
            depth, builder, begin = 0, ObjectBuilder(), 1
            for event, value in yajl2_c.basic_parse(file, use_float=True):
                depth -= event in ('end_map', 'end_array')
                if depth == 1 and event == 'map_key':
                    builder, begin = ObjectBuilder(), 1
                elif depth == 1 and event == 'start_array' and begin == 1:
                    begin = 2  # the elements of the array one by one
                elif depth >= begin:
                    builder.event(event, value)
                    if depth == begin and event not in ('start_map', 'start_array'):
                        count, builder = count + 1, ObjectBuilder()
                depth += event in ('start_map', 'start_array')
        return count

    return read


def whole_fields(path: str) -> Callable[[], int]:
    """The same from the whole file in memory."""

    def read() -> int:
        with open(path, encoding='utf-8') as file:
            return sum(len(value) if isinstance(value, list) else 1 for value in json.load(file).values())

    return read


# Ours first; what is compared with it by what the table calls it.
TASKS: dict[str, dict[str, Callable]] = dict(
    annotations={'': stream_annotations, 'json.load': whole_annotations},
    fields={'': stream_fields, 'json.load': whole_fields},
)
if find_spec('ijson'):  # nothing else needs it
    TASKS['annotations']['ijson, yajl2_c'] = ijson_annotations
    TASKS['fields']['ijson, yajl2_c'] = ijson_fields


def write_coco(path: Path, megabytes: float) -> None:
    """Write images and annotations as COCO's own file has them: no line breaks, polygons of 12 to 40 points."""
    rng = np.random.default_rng(0)
    polygons = [np.round(rng.uniform(0, 640, 2 * points), 2).tolist() for points in range(12, 41)]
    image = dict(license=3, file_name='000000391895.jpg', height=360, width=640, date_captured='2013-11-14 11:18:45')
    with open(path, 'w', encoding='ascii') as file:
        count = int(megabytes * 260)  # of images, a seventh of the annotations
        images = (json.dumps(dict(image, id=number)) for number in range(count))
        file.write('{"info": {"year": 2017}, "images": [' + ', '.join(images) + '], "annotations": [')
        number, separator = 0, ''
        while file.tell() < megabytes * 1e6:
            for polygon in polygons:
                box = [round(value, 2) for value in (*polygon[:2], *polygon[2:4])]
                annotation = dict(segmentation=[polygon], area=polygon[0], iscrowd=0, image_id=number % count, bbox=box)
                file.write(separator + json.dumps(dict(annotation, category_id=18, id=number)))
                number, separator = number + 1, ', '
        file.write('], "categories": [{"supercategory": "animal", "id": 18, "name": "dog"}]}')
