# For wheels: a library that runs wherever there is a glibc of 2.17 (2012) or later. The C++ library goes in, and the symbols of which a newer
# glibc would be asked for its newest version get the oldest one: glibc.cc. `auditwheel show` is the check.
if(NOT UNIX OR APPLE OR NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  message(FATAL_ERROR "REACTNET_PORTABLE is for Linux and g++")
endif()
target_sources(reactnet PRIVATE ${CMAKE_CURRENT_LIST_DIR}/glibc.cc)
target_link_options(reactnet PRIVATE -static-libstdc++ LINKER:--gc-sections LINKER:-s)
foreach(_symbol fstat pthread_create pthread_join pthread_once pthread_sigmask __pthread_key_create)
  target_link_options(reactnet PRIVATE LINKER:--wrap=${_symbol})
endforeach()
# Where glibc is older than 2.34, threads are in a library of their own.
target_link_libraries(reactnet PRIVATE -Wl,--push-state,--no-as-needed,-l:libpthread.so.0,--pop-state)
