"""Who is who: anonymous ids, logins and devices, linked so that every link can be taken back."""
