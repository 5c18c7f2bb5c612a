"""Files in: networks (NIR, lava-dl, S5), frames, events and recordings, one reader a format."""
