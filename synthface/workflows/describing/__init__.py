"""What is known of each image: landmarks, pose, quality, likeness to its class."""
