"""XML of annotations, which strangers may have made."""

import xml.etree.ElementTree as ET
from pathlib import Path
from xml.parsers import expat


def read_xml(path: str | Path) -> ET.Element:
    """Read an XML file.

    Args:
        path (str | Path): The file. Definitions of entities, which could blow it up or name other files, are refused.

    Returns:
        ET.Element: Its outer element.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is no XML; the message names the file.
    """
    builder, parser = ET.TreeBuilder(), expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = _refuse_entity
    try:
        with open(path, 'rb') as file:
            parser.ParseFile(file)
        return builder.close()
    except FileNotFoundError:
        raise FileNotFoundError(f'{path}: the XML of the boxes is missing') from None
    except (expat.ExpatError, ValueError, LookupError) as error:  # the last two: encodings that nobody knows
        raise ValueError(f'{path} is not valid XML: {error}') from error


def _refuse_entity(name: str, *args) -> None:
    raise ValueError(f'it defines the entity {name!r}, which an annotation has no use for')
