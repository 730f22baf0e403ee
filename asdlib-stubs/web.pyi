from asdlib.use.web import *
