"""The Ray layer: the only room that imports ray."""
