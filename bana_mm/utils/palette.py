"""Colours of label maps."""


def voc_palette(num_colors: int) -> list[list[int]]:
    """PASCAL VOC's colours: the bits of the index go to red, green and blue in turn, from their highest bit down.

    Args:
        num_colors (int): How many colours, at most 256; number 255 is the ignored label's.

    Returns:
        list[list[int]]: RGB in 0..255, background (black) first.
    """
    palette = []
    for index in range(num_colors):
        color = [0, 0, 0]
        for bit in range(8):
            color[bit % 3] |= (index >> bit & 1) << (7 - bit // 3)
        palette.append(color)
    return palette
