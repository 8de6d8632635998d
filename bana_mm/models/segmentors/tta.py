"""Test-time augmentation."""

from collections.abc import Sequence

from mmengine.structures import PixelData
from mmseg.models.segmentors import SegTTAModel
from mmseg.structures import SegDataSample

from bana_mm.registry import MODELS


@MODELS.register_module()
class LogitTTAModel(SegTTAModel):
    """Averages the logits of the augmented images, hence the cosines (reference code); mmseg averages probabilities.

    The merged sample holds the mean as ``seg_logits``, so that what follows, such as a CRF, sees it. Where the pipeline
    is ``PlainAndAugmented`` it also holds the prediction on the image as it is, ``plain_seg_logits`` and
    ``plain_pred_sem_seg``, which took no further pass if that view is among the augmented ones.
    """

    def merge_preds(self, data_samples_list: Sequence[Sequence[SegDataSample]]) -> list[SegDataSample]:
        """Merge the predictions of each image.

        Args:
            data_samples_list (Sequence[Sequence[SegDataSample]]): For each image its augmented samples, whose
                ``seg_logits``, (C, H, W), are back at the image's size and orientation.

        Returns:
            list[SegDataSample]: One sample for each image.
        """
        if self.module.out_channels == 1:
            return super().merge_preds(data_samples_list)
        return [self._merge(samples) for samples in data_samples_list]

    @staticmethod
    def _merge(samples: Sequence[SegDataSample]) -> SegDataSample:
        fields = {}
        for sample in samples:
            if sample.get('plain', False):
                fields.update(plain_seg_logits=sample.seg_logits, plain_pred_sem_seg=sample.pred_sem_seg)
        views = [sample for sample in samples if sample.get('augmented', True)]
        mean = sum(view.seg_logits.data for view in views) / len(views)
        merged = views[0]
        merged.set_data(
            dict(fields, seg_logits=PixelData(data=mean), pred_sem_seg=PixelData(data=mean.argmax(0, True)))
        )
        return merged
