"""Test-time augmentation."""

from collections.abc import Sequence

from mmengine.structures import PixelData
from mmseg.models.segmentors import SegTTAModel
from mmseg.structures import SegDataSample

from bana_mm.registry import MODELS


@MODELS.register_module()
class LogitTTAModel(SegTTAModel):
    """Averages the logits of the augmented images, hence the cosines (reference code); mmseg averages probabilities.

    The merged sample holds the mean as ``seg_logits``, so that what follows, such as a CRF, sees it.
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
        merged = []
        for samples in data_samples_list:
            mean = sum(sample.seg_logits.data for sample in samples) / len(samples)
            sample = samples[0]
            sample.set_data(dict(seg_logits=PixelData(data=mean), pred_sem_seg=PixelData(data=mean.argmax(0, True))))
            merged.append(sample)
        return merged
