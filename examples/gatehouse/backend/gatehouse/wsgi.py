import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gatehouse.settings")

application = get_wsgi_application()

from gatehouse.identity.keys import require_keys  # noqa: E402  needs the settings that the line above loads

require_keys()
