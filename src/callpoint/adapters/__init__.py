"""What implements the ports: one folder per port; only ``bootstrap`` may name what is here."""
