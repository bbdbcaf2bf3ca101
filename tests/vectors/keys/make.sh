#!/usr/bin/env bash
# Makes the keys of the tests with OpenSSL, in every form in which keys are handed out. They protect nothing.
set -euo pipefail
cd "$(dirname "$0")"
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pkcs8.pem
openssl rsa -in rsa.pkcs8.pem -traditional -out rsa.pkcs1.pem
openssl pkey -in rsa.pkcs8.pem -pubout -out rsa.spki.pem
openssl rsa -in rsa.pkcs8.pem -RSAPublicKey_out -out rsa.pkcs1-public.pem
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out rsa-1024.pkcs8.pem
openssl pkey -in rsa-1024.pkcs8.pem -pubout -out rsa-1024.spki.pem
openssl pkcs8 -in rsa.pkcs8.pem -topk8 -passout pass:x -out rsa.encrypted.pem
for curve in 256 384; do
    openssl ecparam -name "$([ $curve = 256 ] && echo prime256v1 || echo secp384r1)" -genkey -noout -out "ec-$curve.sec1.pem"
    openssl pkcs8 -in "ec-$curve.sec1.pem" -topk8 -nocrypt -out "ec-$curve.pkcs8.pem"
    openssl pkey -in "ec-$curve.pkcs8.pem" -pubout -out "ec-$curve.spki.pem"
done
openssl genpkey -algorithm ED25519 -out ed25519.pkcs8.pem
openssl pkey -in ed25519.pkcs8.pem -pubout -out ed25519.spki.pem
