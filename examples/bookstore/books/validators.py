import os
import re

from django.core.exceptions import ValidationError

MAX_COVER_BYTES = 5 * 1024 * 1024

# SVG is left out on purpose: it can carry scripts, and covers are served from the site's own origin.
COVER_SIGNATURES = {
    '.gif': re.compile(br'GIF8[79]a'),
    '.jpeg': re.compile(br'\xff\xd8\xff'),
    '.jpg': re.compile(br'\xff\xd8\xff'),
    '.png': re.compile(br'\x89PNG\r\n\x1a\n'),
    '.webp': re.compile(br'RIFF....WEBP', re.DOTALL),
}


def validate_cover(upload):
    """Accept an uploaded image whose content is what the extension of its name says."""
    extension = os.path.splitext(upload.name)[1].lower()
    signature = COVER_SIGNATURES.get(extension)
    if signature is None:
        allowed = ', '.join(sorted(COVER_SIGNATURES))
        raise ValidationError('A cover must be one of %(allowed)s.', code='extension', params={'allowed': allowed})
    if upload.size > MAX_COVER_BYTES:
        raise ValidationError('A cover may have at most 5 MB.', code='size')
    upload.seek(0)
    head = upload.read(16)
    upload.seek(0)
    if not signature.match(head):
        raise ValidationError('This is not a %(kind)s image.', code='content', params={'kind': extension[1:].upper()})


def isbn13_check_digit(first_twelve):
    weighted = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(first_twelve))
    return str(-weighted % 10)


def validate_isbn13(value):
    if not re.match(r'[0-9]{13}\Z', value) or isbn13_check_digit(value[:12]) != value[12]:
        raise ValidationError('%(value)s is not a valid ISBN-13.', code='isbn', params={'value': value})
