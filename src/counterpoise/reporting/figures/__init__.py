"""The papers' figures: from runs to a CSV file, and from that file alone to a picture."""
