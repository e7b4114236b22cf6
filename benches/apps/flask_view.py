"""Flask: the same rows from a view."""
from flask import Flask, jsonify

from rows import rows

application = Flask(__name__)


@application.route("/books/")
def books():
    return jsonify(rows())
