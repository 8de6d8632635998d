import pytest
import torch

from bana_mm.labels.class_weights import weight_of_classes

WEIGHT = torch.tensor([[9.0, 9.0], [1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])  # background, sofa, cat, tvmonitor
OWN = ('sofa', 'cat', 'tvmonitor')


def test_weights_go_by_name():
    weight, unseen = weight_of_classes(WEIGHT, OWN, ('cat', 'zebra', 'tiger'), dict(tiger='cat'))
    assert weight.tolist() == [[9, 9], [3, 4], [0, 0], [3, 4]]
    assert unseen == ['zebra']


def test_synonyms_of_voc_and_coco():
    weight, unseen = weight_of_classes(WEIGHT, OWN, ('couch', 'tv', 'cat'))
    assert weight.tolist() == [[9, 9], [1, 2], [5, 6], [3, 4]] and unseen == []
    weight, _ = weight_of_classes(WEIGHT, ('couch', 'cat', 'tv'), ('tvmonitor', 'sofa'))
    assert weight.tolist() == [[9, 9], [5, 6], [1, 2]]
    weight, unseen = weight_of_classes(WEIGHT, OWN, ('couch', 'sofa', 'cat'), dict(couch='tvmonitor', cat=None))
    assert weight.tolist() == [[9, 9], [5, 6], [1, 2], [0, 0]] and unseen == ['cat']


def test_same_classes_keep_their_weights():
    weight, unseen = weight_of_classes(WEIGHT, OWN, OWN)
    assert torch.equal(weight, WEIGHT) and unseen == []


def test_wrong_names_are_told():
    with pytest.raises(ValueError, match="same_as names the class 'settee', but the labelled classes are cat, couch"):
        weight_of_classes(WEIGHT, OWN, ('cat', 'couch'), dict(settee='sofa'))
    with pytest.raises(ValueError, match="same_as names the class 'tiger', but the classifier's classes are sofa"):
        weight_of_classes(WEIGHT, OWN, ('cat', 'couch'), dict(couch='tiger'))
    with pytest.raises(ValueError, match='the classifier has 3 classes, but 2 names are given'):
        weight_of_classes(WEIGHT, OWN[:2], OWN)
