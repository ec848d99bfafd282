"""Security headers of every response. They are constant and depend only on the request's method."""

# Of responses to GET and HEAD, which a browser displays.
SHOWN_HEADERS = (
    (b"x-content-type-options", b"nosniff"),  # what is no script or page is not taken for one
    (b"content-security-policy", b"frame-ancestors 'none'"),  # no other page shows it in a frame, to be clicked unseen
    (b"cross-origin-resource-policy", b"same-origin"),  # no other page loads it into its own process
    (b"referrer-policy", b"no-referrer"),  # no other host learns the address
)
# A browser displays the response to a POST at most to the form that sent it, and each field costs a microsecond.
SENT_HEADERS = SHOWN_HEADERS[:1]
