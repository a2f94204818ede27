"""What a trained model has learnt, made visible: latents, attention, surprise."""
