#!/bin/sh
exec python3 -m http.server --directory /srv/www 8080
