"""pytest plug-in of this suite: markers and shared fixtures; loaded with `-p tests.kit.plugin`."""
