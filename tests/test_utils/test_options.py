"""KEY=VALUE arguments: as mmengine reads them, with dictionaries, and with one line for what can't be read."""

import argparse

import pytest
from mmengine.config import Config, DictAction

from bana_mm.utils.config.reading import parse_options
from bana_mm.utils.options import OptionsAction


def parse(*options, action=OptionsAction):
    parser = argparse.ArgumentParser()
    parser.add_argument('--set', nargs='+', action=action)
    return parser.parse_args(['--set', *options]).set


@pytest.mark.parametrize(
    'text',
    ['3', '1e-4', 'True', 'None', 'word', "'word'", '1,2,3', '(65,65)', '[(1,2),[a,b],c]', 'a=b', '', '[ 1, 2 ]']
    + ['{{$ROOT:x}}', 'a{b', '[]'],
)
def test_what_mmengine_reads_is_read_alike(text):
    ours, theirs = parse(f'a.b={text}'), parse(f'a.b={text}', action=DictAction)
    assert ours == theirs and type(ours['a.b']) is type(theirs['a.b'])


@pytest.mark.parametrize(
    'text',
    ["[dict(type='A',weight=2.0)]", "[{'type': 'A', 'weight': 2.0}]", "[ dict(type = 'A', weight = 2.0) ]"],
)
def test_dictionaries(text):
    assert parse(f'a={text}') == dict(a=[dict(type='A', weight=2.0)])
    cfg = Config(dict(model=dict(losses=[])))
    cfg.merge_from_dict(parse_options([f'model.losses={text}']))
    assert cfg.model.losses[0].type == 'A'
    assert parse("a=dict(b=dict(c=(1,2)),d=None,e=[{'f':-1}])") == dict(
        a=dict(b=dict(c=(1, 2)), d=None, e=[dict(f=-1)])
    )


def test_later_arguments_add_to_earlier_ones():
    parser = argparse.ArgumentParser()
    parser.add_argument('--set', nargs='+', action=OptionsAction, default={})
    args = parser.parse_args(['--set', 'a=1', 'b=2', '--set', 'b=3'])
    assert args.set == dict(a=1, b=3)
    assert parser.get_default('set') == {}


@pytest.mark.parametrize(
    ('argument', 'message'),
    [
        ('a', "argument --set: 'a' is not KEY=VALUE"),
        ('=1', "argument --set: '=1' is not KEY=VALUE"),
        ('a=[dict(type=A)]', 'take text in quotes'),
        ("a=[dict(type=open('x'))]", 'take text in quotes'),
        ('a=dict(b', 'take text in quotes'),
        ('a=[(1]', "'a=[(1]': the value can't be read"),
    ],
)
def test_what_cannot_be_read(argument, message, capsys):
    with pytest.raises(SystemExit):
        parse('c=1', argument)
    assert message in capsys.readouterr().err
