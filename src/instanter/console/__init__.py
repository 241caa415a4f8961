"""Pages for people who run Instanter, at `/console` of the server itself.

They speak only to `api`: what a page shows and what its buttons do are calls of the same application, in process, with
the access key of whoever is logged in. So roles, tenants, rates and the record of acts hold here by themselves.
"""
