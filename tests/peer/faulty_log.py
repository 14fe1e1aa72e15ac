#!/usr/bin/env python3
"""A faulty proxy in front of a log, which also watches the tags of a registry.

  faulty_log.py TARGET REGISTRY REPOSITORIES FROM OUTAGE

Prints its own port and forwards requests to TARGET. Half of them get the response
502 instead, and from request FROM on all of them, for OUTAGE seconds. Meanwhile it
reads each of REPOSITORIES (a format with {}) at REGISTRY, and records a tag that is
visible before its signature in violations.txt. At SIGTERM it writes counts.json.
"""
import http.server, json, os, random, signal, sys, threading, time, urllib.error, urllib.request

target, registry, repositories, begin, outage = sys.argv[1:6]
begin, outage = int(begin), float(outage)
random.seed(7)
counts = {"asked": 0, "refused": 0, "outage": 0, "looked": 0, "visible": 0}
lock, down_until = threading.Lock(), [None]


class Log(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        with lock:
            counts["asked"] += 1
            if counts["asked"] == begin:
                down_until[0] = time.monotonic() + outage
            down = down_until[0] is not None and time.monotonic() < down_until[0]
            bad = random.random() < 0.5
            counts["outage" if down else "refused"] += down or bad
        if down or bad:
            return self.answer(502, b"bad gateway")
        request = urllib.request.Request(target + self.path, body, dict(self.headers.items()))
        request.remove_header("Host")
        try:
            with urllib.request.urlopen(request) as answer:
                self.answer(answer.status, answer.read(), answer.headers.get("content-type"))
        except urllib.error.HTTPError as error:
            self.answer(error.code, error.read())

    def answer(self, status, body, kind="text/plain"):
        self.send_response(status)
        self.send_header("content-type", kind or "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def ask(path):
    request = urllib.request.Request(f"http://{registry}/v2/{path}")
    request.add_header("Accept", "application/vnd.oci.image.index.v1+json")
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)
    except urllib.error.HTTPError:
        return None


def watch():
    number, done = 0, set()
    while True:
        number += 1
        repository = repositories.format(number)
        if number > 1000:
            number = 0
            continue
        if repository in done:
            continue
        index = ask(f"{repository}/manifests/1.0.0")
        counts["looked"] += 1
        if index is None:
            # Not there yet; those after it are not, either.
            number = 0
            time.sleep(0.005)
            continue
        counts["visible"] += 1
        done.add(repository)
        digest = index["manifests"][0]["digest"]
        speaking = ask(f"{repository}/referrers/{digest}")
        if not speaking or not speaking["manifests"]:
            with open("violations.txt", "a") as file:
                file.write(repository + "\n")


def stop(*_):
    with open("counts.json", "w") as file:
        json.dump(counts, file)
    # An exception would be ignored if the signal arrives while an object is finalized,
    # and this program would run on.
    os._exit(0)


signal.signal(signal.SIGTERM, stop)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Log)
print(server.server_address[1], flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
watch()
