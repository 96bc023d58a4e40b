"""What fills the memory of a training step, by stage of ZeRO; and what a net takes as a file."""
