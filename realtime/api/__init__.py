"""The HTTP doors, made with Django REST framework; independent of the project's own defaults for it."""
