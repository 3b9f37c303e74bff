"""How the server in front runs gunicorn; it adds --bind."""

import os

wsgi_app = "gatehouse.wsgi:application"
worker_class = "gthread"
workers = int(os.environ.get("GATEHOUSE_WORKERS") or 2)
threads = 4
timeout = 60
graceful_timeout = 20
max_requests = 5000
max_requests_jitter = 500
control_socket_disable = True
accesslog = "-" if os.environ.get("GATEHOUSE_LOG_LEVEL") == "debug" else None
