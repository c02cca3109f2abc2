"""The six-class network: architectures, training, quantisation, evaluation, and inference without TensorFlow."""
