"""Record the screens anew, into docs/pictures. Needs root."""

from tests.pictures import scenes

scenes.write()
