from asdlib.use.report import *
