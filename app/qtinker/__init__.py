"""QTinker: distil, quantize and measure BERT models."""
