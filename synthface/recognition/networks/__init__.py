"""The backbones, one a file; ``build`` makes one from its configuration."""
