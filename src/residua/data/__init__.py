"""What a network sees: sources of labelled images, their split, their augmentation and their batches."""
