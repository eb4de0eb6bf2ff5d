"""Export of a trained net for use elsewhere: ONNX, safetensors, thresholds and a model card."""
