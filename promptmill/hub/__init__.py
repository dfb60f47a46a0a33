"""The Hugging Face Hub: access, download, publishing. Nothing here is asked for a local model."""
