"""Pictures of images, boxes, maps and labels."""

from .panels import draw_boxes, heat_map, label_overlay, panel_cells, panel_row, render_panels

__all__ = ['draw_boxes', 'heat_map', 'label_overlay', 'panel_cells', 'panel_row', 'render_panels']
