from asdlib.learn.channels import *
from asdlib.learn.tracing import *
