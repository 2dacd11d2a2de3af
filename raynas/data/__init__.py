"""Image datasets: NumPy arrays in ``dataset/``, tensors on a device in ``device`` and ``batches``."""
