"""Source to image, image to something that a runtime can start: `references`, `bundle`, `builder`."""
