"""Nets and layers that several studies train; each net has `stages`."""
