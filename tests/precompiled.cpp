// Nothing: the owner of the precompiled headers that all tests share (CMakeLists.txt).
int main() {
    return 0;
}
