"""Drawn pictures of what a shop carries, as SVG: by kind of piece, style, colour and material. No file, no chance."""
