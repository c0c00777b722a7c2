"""Answers with the page."""

import pathlib


def handler(event, context):
    page = pathlib.Path(__file__).with_name("index.html").read_text()
    return {"statusCode": 200, "headers": {"Content-Type": "text/html; charset=utf-8"}, "body": page}
