"""From a folder of images and boxes to a data set that trains: formats, checks, figures, advice, the config.

:func:`bana_mm.own_data.init.init_data` does it all. Nothing is imported here: worker processes import what is inside.
"""
