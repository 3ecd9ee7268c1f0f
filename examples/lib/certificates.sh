# Sourced by the `run` of examples that speak TLS: throw-away certificates in $work, by openssl.
command -v openssl > /dev/null || { echo "openssl is needed: it makes the example's certificates" >&2; exit 1; }

quietly() {
    local said
    said="$("$@" 2>&1)" || { echo "$said" >&2; exit 1; }
}

key() {
    quietly openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out "$work/$1.key"
    chmod 600 "$work/$1.key"
}

# authority NAME: a root, NAME.pem.
authority() {
    key "$1"
    quietly openssl req -x509 -new -key "$work/$1.key" -days 30 -subj "/CN=$1" -out "$work/$1.pem"
}

# certificate NAME AUTHORITY SAN: NAME.pem and NAME.key, for the alternative names SAN (DNS:a,URI:b).
certificate() {
    key "$1"
    quietly openssl req -new -key "$work/$1.key" -subj "/CN=$1" -out "$work/$1.csr"
    printf 'subjectAltName=%s\nbasicConstraints=CA:FALSE\n' "$3" > "$work/$1.ext"
    quietly openssl x509 -req -in "$work/$1.csr" -CA "$work/$2.pem" -CAkey "$work/$2.key" -CAcreateserial -days 30 \
        -extfile "$work/$1.ext" -out "$work/$1.pem"
}
