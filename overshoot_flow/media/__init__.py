"""Pictures and their times: frames, sampling plans, the decoding reader."""
