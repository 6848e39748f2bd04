# Sanitizers see only what they compiled, so the flags apply to everything in this build tree.
if(RITZ_SANITIZE)
  if(RITZ_PYTHON)
    message(FATAL_ERROR "RITZ_SANITIZE and RITZ_PYTHON exclude each other: the interpreter itself "
                        "is not instrumented; run the sanitizers on the C++ tests (RITZ_TESTS=ON)")
  endif()
  add_compile_options(-fsanitize=${RITZ_SANITIZE} -fno-sanitize-recover=all
                      -fno-omit-frame-pointer)
  if(RITZ_SANITIZE MATCHES "undefined")
    # The checks of every access, which take as long to compile as all others: a null pointer ends
    # the program anyway, and x86 loads what is not aligned.
    add_compile_options(-fno-sanitize=null,alignment,object-size,pointer-overflow,vptr)
  endif()
  add_link_options(-fsanitize=${RITZ_SANITIZE})
endif()

set(RITZ_UNSANITIZED "" CACHE FILEPATH "libritz.a compiled without sanitizers, from which a \
sanitized tree takes what it need not compile again: Eigen, the methods behind the C interface, and \
the kernels under tests of anything else")
