# Sanitizers see only what they compiled, so the flags apply to everything in this build tree.
if(RITZ_SANITIZE)
  if(RITZ_PYTHON)
    message(FATAL_ERROR "RITZ_SANITIZE and RITZ_PYTHON exclude each other: the interpreter itself "
                        "is not instrumented; run the sanitizers on the C++ tests (RITZ_TESTS=ON)")
  endif()
  add_compile_options(-fsanitize=${RITZ_SANITIZE} -fno-sanitize-recover=all
                      -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${RITZ_SANITIZE})
endif()
