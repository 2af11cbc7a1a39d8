"""The pictures of docs/pictures: what the real program shows, drawn as SVG (`make pictures`)."""
