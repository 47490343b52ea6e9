"""Writes everything below a prefix anew under another customer key:

    sealift key new                                   # prints the id of the new key
    python examples/rotate_keys.py s3://my-bucket/photos/ KEY_ID

Old and new keys are found where `sealift key list` finds them. At every moment the old or the new
object is there whole; run it again after a crash.
"""

import sys

import sealift

prefix, key_id = sys.argv[1:]
options = sealift.RekeyOptions(target=sealift.Seal(key_id))
with sealift.blocking.Engine(sealift.load_options()) as engine:
    report = engine.rekey(prefix, options)
    report.raise_for_failures()
    proof = engine.verify(None, prefix, sealift.VerifyOptions(is_sealed=True, key_id=key_id))
print(f"{report.moved_count} rekeyed, {proof.keys.get(key_id, 0)} under {key_id}")
sys.exit(0 if proof.is_verified else 1)
