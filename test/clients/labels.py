"""Print one object's labels as oss2 gets them: labels.py BUCKET KEY PROCESS"""
import os
import sys

import oss2
from oss2.credentials import EnvironmentVariableCredentialsProvider

name, key, process = sys.argv[1:]
auth = oss2.ProviderAuthV4(EnvironmentVariableCredentialsProvider())
bucket = oss2.Bucket(auth, os.environ['OSS_ENDPOINT'], name, region='cn-hangzhou')
sys.stdout.buffer.write(bucket.get_object(key, process=process).read())
